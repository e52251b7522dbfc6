"""The least that is needed: attach the model, log batches and epochs.

A host without slots is a host alone, so this run shows losses, accuracies, parameters and gradient norms; slots, stages
and alphas appear by themselves once the model has them. Nothing leaves the machine:

    python examples/01_first_run.py
    wandb leet          look at the run in the terminal
"""

import torch
from sklearn.datasets import load_digits

import karn_wandb

images, labels = map(torch.tensor, load_digits(return_X_y=True))
model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10)).double()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
with karn_wandb.init(project="first-run", config={"lr": 0.01}, mode="offline") as run:
    run.attach(model)
    for _ in range(50):
        loss = torch.nn.functional.cross_entropy(model(images[:1500] / 16), labels[:1500])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log_batch(loss=loss)
        run.log_epoch(val_accuracy=100 * (model(images[1500:] / 16).argmax(1) == labels[1500:]).double().mean())
