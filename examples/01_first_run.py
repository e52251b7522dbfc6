"""The least that is needed: attach the model, log batches and epochs.

A host without slots is a host alone, so this run shows losses, accuracies, parameters and gradient norms; slots, stages
and alphas appear by themselves once the model has them. Nothing leaves the machine:

    python examples/01_first_run.py
    wandb leet          look at the run in the terminal
"""

import torch
from sklearn.datasets import load_digits

import karn_wandb

digits = load_digits()
images, labels = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)
model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

with karn_wandb.init(project="first-run", config={"lr": 0.01}, mode="offline") as run:
    run.attach(model)
    for _ in range(5):
        for x, y in zip(images[:1500].split(50), labels[:1500].split(50), strict=True):
            loss = torch.nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.log_batch(loss=loss)
        accuracy = (model(images[1500:]).argmax(1) == labels[1500:]).float().mean()
        run.log_epoch(val_accuracy=100 * accuracy)
print(f"{run.finish().final_accuracy:.1f} % on digits it has not seen; everything is in {run.records_path}")
