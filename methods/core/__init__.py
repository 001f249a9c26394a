"""What methods are made of: knobs, the units of a network, cuts, masks, removal, penalties."""
