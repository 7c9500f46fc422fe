"""Make the cluster fixtures known to the tests of this folder."""

from slurm_fixtures import slurm, stub_slurm

__all__ = ["slurm", "stub_slurm"]
