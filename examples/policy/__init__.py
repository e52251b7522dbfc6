"""A controller that learns when to grow what: proximal policy optimisation over many short host trainings."""
