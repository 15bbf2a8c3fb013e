"""Measurements beside the budgets of the design; they print, they never fail on a number."""
