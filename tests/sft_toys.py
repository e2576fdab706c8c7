"""Settings of toy runs of SFT."""

from afterbase.train.optimizer import Optimisation
from afterbase.train.sft import Sft

CONFIG = Sft(
    epochs=2,
    row_tokens=64,
    optimisation=Optimisation(learning_rate=1e-2, floor=1e-3, warmup_steps=1),
    checkpoint_every=2,
)
