"""The embedded default: drawn scenes, their words in English and Chinese, the tasks and the exam made of them."""
