"""Configurations of Parsl for `python -m precompute run --executor parsl --parsl-config benchmarks.sites:NAME`.

They are meant to be copied: queue names, accounts and modules are those of one's own machine. All nodes must see the
repository and the data folder under the same paths. `loopback` ran here against a Slurm controller and a node on one
machine; the others are built from the same parts and have not run.
"""

from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.launchers import SingleNodeLauncher, SrunLauncher
from parsl.providers import KubernetesProvider, LocalProvider, PBSProProvider, SlurmProvider

from engine.data_folder import ROOT

START = f"cd {ROOT}; source .venv/bin/activate"  # what a node does before its workers start

# One node with two cores, whose Slurm runs on this machine: `loopback` of docs/cluster.md.
loopback = Config(
    executors=[
        HighThroughputExecutor(
            label="slurm",
            address="127.0.0.1",
            max_workers_per_node=2,
            provider=SlurmProvider(
                partition="all",
                nodes_per_block=1,
                cores_per_node=2,
                init_blocks=1,
                max_blocks=1,
                walltime="00:20:00",
                worker_init=START,
                launcher=SingleNodeLauncher(),
            ),
        )
    ],
    retries=1,
    strategy="none",
)


def slurm_gpus(nodes: int = 4, per_node: int = 4, walltime: str = "04:00:00") -> Config:
    """Nodes of several GPUs under Slurm; one worker per GPU, which sees that GPU alone."""
    provider = SlurmProvider(
        partition="gpu",
        nodes_per_block=1,
        init_blocks=nodes,
        max_blocks=nodes,
        scheduler_options=f"#SBATCH --gpus-per-node={per_node}",
        exclusive=True,
        walltime=walltime,
        worker_init=START,
        launcher=SrunLauncher(),
    )
    executor = HighThroughputExecutor(
        label="gpus", max_workers_per_node=per_node, available_accelerators=per_node, provider=provider
    )
    return Config(executors=[executor], retries=2)


def pbs_gpus(nodes: int = 4, per_node: int = 4, walltime: str = "04:00:00") -> Config:
    """The same under PBS Pro."""
    provider = PBSProProvider(
        queue="gpu",
        nodes_per_block=1,
        init_blocks=nodes,
        max_blocks=nodes,
        select_options=f"ngpus={per_node}",
        walltime=walltime,
        worker_init=START,
    )
    executor = HighThroughputExecutor(
        label="gpus", max_workers_per_node=per_node, available_accelerators=per_node, provider=provider
    )
    return Config(executors=[executor], retries=2)


def kubernetes_gpus(image: str, claim: str, pods: int = 4) -> Config:
    """Pods of one GPU each, from an image with this repository; the data folder is a volume claim at /data."""
    provider = KubernetesProvider(
        namespace="default",
        image=image,
        init_blocks=pods,
        max_blocks=pods,
        worker_init=START,
        persistent_volumes=[(claim, "/data")],
    )
    return Config(
        executors=[HighThroughputExecutor(label="pods", max_workers_per_node=1, provider=provider)], retries=2
    )


def workstation(n_gpus: int = 2) -> Config:
    """One machine with some GPUs; `--executor local` does the same without Parsl."""
    executor = HighThroughputExecutor(
        label="gpus",
        address="127.0.0.1",
        max_workers_per_node=n_gpus,
        available_accelerators=n_gpus,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
    )
    return Config(executors=[executor], retries=2, strategy="none")
