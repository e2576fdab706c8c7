"""A reward of one's own: any function that takes keywords and returns a number."""


def score(*, response: str, row: dict, **context: object) -> bool:
    """Whether the response is the right answer of its row, and nothing else."""
    return response.strip() == row["answer"]
