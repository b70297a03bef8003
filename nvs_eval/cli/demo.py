"""`nvs-eval demo`."""
from dataclasses import dataclass
@dataclass(frozen=True)
class Demo:
    """demo"""
    def run(self) -> int:
        return 0
