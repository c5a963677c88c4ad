"""What callers send to functions, and what they are answered: one module for each function.

So no function builds the models of another when it starts. What Infobip sends is in `api`, what
AWS wraps around it where it is unwrapped.
"""
