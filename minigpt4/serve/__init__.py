"""What other programs and browsers talk to: the page."""
