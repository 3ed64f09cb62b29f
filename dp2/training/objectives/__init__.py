"""What a step of training does: objectives and their losses."""
