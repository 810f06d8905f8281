"""The first hour with the embedded default: what it learns, shown as a page; what newcomers ask, scored."""
