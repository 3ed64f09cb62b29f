"""The browser's door to dp2: a page, a JSON API, a queue, and worker processes that do the work."""
