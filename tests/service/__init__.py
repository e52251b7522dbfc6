"""A stand-in for the W&B service, for tests: our model of W&B, spoken to by the real SDK.

`Service` is an HTTP server on the loopback interface, in the test's process. The real `wandb` package logs to it, and
the real `wandb.Api()` reads from it: both go through wandb-core, a program of its own, so nothing less than a server
would do. It is not W&B. It was written from W&B's documentation and from what the SDK sends, and never compared with
the service.

What a passing test shows: our calls are well formed and accepted by the SDK, what we send is what we meant, and our
code reads its own data back through W&B's client, also when the service refuses, hangs or loses answers.

What stays unproven: that the service itself takes filters, orders, samples and states as we read the documentation;
that its pages draw what we log; its limits (rates, sizes, number of metrics); when it exports history to Parquet; users,
teams, permissions, registries, launch, automations; that it refuses the names it refuses.

Known differences:

- A run that was killed stays `running` until a test calls `crash`.
- Sampled history takes rows at even distances instead of random ones.
- History is exported when a test calls `export`, and whole or not at all: never with live rows behind it.
- Of processes that share a run, rows keep the steps each has counted, so a step may be there twice.
- Filters on config keys with dots in them, which W&B has trouble with, find what they name; `$regex` is Python's.
- Sweeps search by grid or at random, and stop no run early.
- A custom chart of a name that is there is refused; what W&B does with it was not seen.
- Rewinding and forking runs, and uploads in several parts, are refused.

In a test:

    def test_something(wandb_service):                    # the fixture of tests/conftest.py; mark the test `online`
        with karn_wandb.init(project="p") as run: ...
        wandb_service.run(run.id).rows                     # also .config, .summary, .state, .exit_code, .alerts, .tags
        wandb_service.requests["Runs"]                     # requests by operation, or route: file_stream, upload, download
        wandb_service.faults.answer(429, where={"Runs"}, times=3)     # also hang, trickle, drop; clear() ends them
        with wandb_service.refusing(): ...                 # nobody listens; the port stays the same
        wandb_service.notes                                # what it was asked for and does not know

A fixture of wider scope is `with Service() as service, online(service, folder):`; `variables(service, folder)` is the
environment for a child process. `python -m tests.smoke_real_wandb` makes the checks of `checks` on W&B itself.

Modules: `service` is what a test sees, `server` the HTTP routes, `graphql` the walk over plain data, `queries` and
`mutations` the root fields, `runs`, `history`, `exports`, `filters`, `files`, `blobs`, `artifacts`, `artifact_nodes`,
`sweeps` and `views` the state, `faults` what is to go wrong, `environment` how a process is made to talk to it,
`checks` what must hold on the stand-in and on W&B alike.
"""

from .environment import online, variables
from .service import Service

__all__ = ["Service", "online", "variables"]
