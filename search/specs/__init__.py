"""Ready specs: `prunefront run NAME` finds NAME.yaml here."""
