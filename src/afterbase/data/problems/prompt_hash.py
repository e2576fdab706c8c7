"""What makes two prompts the same: the hash of their text.

Equal here means equal but for case, Unicode's composed and decomposed forms, and white space. Prompts that are nearly
equal are not found by this.
"""

import hashlib
import unicodedata


def prompt_hash(prompt: str) -> str:
    """SHA-256 of the normalised prompt, in hexadecimal."""
    return hashlib.sha256(normalised(prompt).encode()).hexdigest()


def normalised(prompt: str) -> str:
    """The prompt in Unicode's form C, in small letters, with single spaces."""
    return " ".join(unicodedata.normalize("NFC", prompt).casefold().split())
