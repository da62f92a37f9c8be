"""The guides, one page per task, as Markdown; `pages` finds them."""
