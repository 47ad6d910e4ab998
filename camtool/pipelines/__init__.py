"""What the commands do, each readable from top to bottom: localize, train, evaluate, compare."""
