"""A training that fails on purpose, and the dense traces that say why.

In epoch 4 one batch is 255 times too bright, as when a loader forgets to divide once. Nothing was prepared for it but
`attach`. Runs in seconds, and nothing leaves the machine:

    python examples/02_why_did_it_fail.py
"""

import torch
from sklearn.datasets import load_digits
from torch.nn import Linear, ReLU

import karn_wandb

images, labels = map(torch.tensor, load_digits(return_X_y=True))
images = images.float() / 16
torch.manual_seed(0)
model = torch.nn.Sequential()
for name, layer in {"hidden": Linear(64, 32), "relu": ReLU(), "output": Linear(32, 10)}.items():
    model.add_module(name, layer)
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
with karn_wandb.init(project="why-did-it-fail", mode="offline") as run:
    run.attach(model)
    for epoch in range(1, 9):
        for batch, rows in enumerate(torch.randperm(1500).split(50)):
            brightness = 255 if (epoch, batch) == (4, 10) else 1
            loss = torch.nn.functional.cross_entropy(model(images[rows] * brightness), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.log_batch(loss=loss)
        run.log_epoch(val_accuracy=100 * (model(images[1500:]).argmax(1) == labels[1500:]).float().mean())

for trace in karn_wandb.load_experiment(str(run.records_path)).records(run.id):
    if isinstance(trace, karn_wandb.DenseTrace):
        print(f"{trace.trigger_reason}: {trace.message}")
        print("  cause:", {name: float(f"{value:.4g}") for name, value in trace.cause.items()})
        print("  gradient, root mean square:", {layer: float(f"{rms:.2g}") for layer, rms in trace.gradient_flow.items()})
        print("  units that never fired afterwards:", trace.dead_neuron_counts)
