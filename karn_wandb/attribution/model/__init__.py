"""The coalitions of a torch model: evaluated together in one pass where the model allows it."""
