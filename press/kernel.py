"""The kernel of `press/jupyter`, in which a chapter runs: one thread, warnings are errors, checks try their mutants."""

from ipykernel.kernelapp import launch_new_instance

from helpers import checks
from press.mutants import Bench

if __name__ == "__main__":
    checks.check = Bench(checks.check)
    launch_new_instance()
