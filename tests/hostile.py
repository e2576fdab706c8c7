"""A name that tries to steer the terminal, to colour, to turn text around, and to begin a line of its own."""

NAME = "\x1b]0;x\x07[red]evil[/red] \u202e\ndone: 100 %"
ON_ONE_LINE = "␛]0;x␇[red]evil[/red] [U+202E]␊done: 100 %"
SHOWN = ON_ONE_LINE.replace("␊", "\n")
