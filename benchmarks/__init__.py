"""What prunefront measures about itself: each module prints one line per figure, and nothing here is a test."""
