"""What the tests of data share: a Ray cluster on this machine."""

import os

import pytest


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory):
    """Ray on this machine with two workers, which find this source tree; without Ray a test skips."""
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'afterbase[ray]'")
    pytest.importorskip("ray.data", reason="needs Ray: pip install 'afterbase[ray]'")
    from pathlib import Path

    root = Path(__file__).parents[2]
    paths = [str(root / "src"), str(root / "tests"), str(root / "tests/data"), os.environ.get("PYTHONPATH", "")]
    environment = {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR", runtime_env=environment)
    yield ray
    ray.shutdown()
