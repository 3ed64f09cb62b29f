"""PeekingDuck's pipelines, run by dp2."""
