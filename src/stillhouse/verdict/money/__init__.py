"""Every rule of money: what a call costs, what was spent once, when an arm pays, what a right answer must be worth."""
