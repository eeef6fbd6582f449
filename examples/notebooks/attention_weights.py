# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Looking at attention weights
#
# A GAT is trained on the embedded graph of handwritten digits, which needs no download. Then we ask
# where each head looks: how the coefficients are distributed, how far they are from a plain mean,
# and which neighbours of one digit count.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import networkx as nx
import pandas as pd
import torch
from torch_geometric.utils import degree, k_hop_subgraph

from graphattn.nn import record_attention
from graphattn.recipes import recipe, restore, run

experiment = recipe("gat/digits")
report = run(experiment, seed=0, runs="runs", progress=False)
print(f"test accuracy {report.test_metric:.3f} after epoch {report.best_epoch}")

# %% [markdown]
# Everything about the run is in its folder. `restore` makes the model of it, with the weights of
# that epoch, and the data that it was trained on.

# %%
folder = max(Path("runs", experiment.name).iterdir())  # names begin with the time
restored = restore(folder)
model, data = restored.model, restored.data

# %% [markdown]
# While `record_attention` is open, every attention layer of a model hands out its edges and
# coefficients. The input edges come first and in their order, then the self-loops that the layer
# added.

# %%
with torch.no_grad(), record_attention(model) as records:
    model(data.x, data.edge_index)
for record in records:
    print(record.name, record.kind, list(record.alpha.shape))
edge_index, alpha = records[0].edge_index, records[0].alpha
print(
    f"{data.num_edges} edges, {edge_index.size(1) - data.num_edges} self-loops, "
    f"{alpha.size(1)} heads"
)

# %% [markdown]
# ## Distribution per head
#
# A node with $d$ incoming edges (its self-loop counts) spreads one unit over them. Times $d$, a
# coefficient says how much more than an equal share an edge gets: 1 is a plain mean.

# %%
src, dst = edge_index
in_degree = degree(dst, data.num_nodes)
share = alpha * in_degree[dst].unsqueeze(1)
figure, axes = plt.subplots(2, 4, figsize=(10, 4.5), sharex=True, sharey=True)
for head, axis in enumerate(axes.flat):
    axis.hist(share[:, head].numpy(), bins=60, range=(0, 2), color="tab:blue")
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_title(f"head {head}", fontsize=10)
figure.supxlabel("coefficient times degree (1 = plain mean)")
figure.supylabel("edges")
figure.tight_layout()

# %% [markdown]
# ## Entropy against uniform
#
# The entropy of a node's coefficients divided by the logarithm of its degree is 1 for a plain mean
# and 0 when one neighbour takes all.

# %%
surprise = -(alpha * alpha.clamp_min(1e-30).log())
entropy = torch.zeros(data.num_nodes, alpha.size(1)).index_add(0, dst, surprise)
entropy = entropy / in_degree.log().unsqueeze(1)
same = data.y[src] == data.y[dst]
table = pd.DataFrame(
    {
        "entropy / uniform": entropy.mean(0),
        "share of same-digit edges": share[same].mean(0),
        "share of other edges": share[~same].mean(0),
    }
)
table.index.name = "head"
table.round(3)

# %% [markdown]
# ## One ego graph
#
# The incoming edges of one node, as wide as their mean coefficient, with the number that is 1 for
# a plain mean. We take the node whose attention is the least uniform.

# %%
center = int(entropy.mean(1).argmin())
nodes, edges, _, mask = k_hop_subgraph(center, 1, edge_index, flow="source_to_target")
into = edges[1] == center
graph = nx.DiGraph()
for j, weight in zip(edges[0, into].tolist(), alpha[mask][into].mean(1).tolist(), strict=True):
    if j != center:
        graph.add_edge(j, center, weight=weight)
position = nx.circular_layout(graph.subgraph(set(graph) - {center})) | {center: (0, 0)}
weights_in = nx.get_edge_attributes(graph, "weight")
shares = {edge: f"{weight * float(in_degree[center]):.2f}" for edge, weight in weights_in.items()}
figure, axis = plt.subplots(figsize=(6, 6), layout="constrained")
nx.draw_networkx_edges(
    graph,
    position,
    width=[20 * weight for weight in weights_in.values()],
    edge_color="tab:blue",
    alpha=0.6,
    node_size=1500,
    ax=axis,
)
nx.draw_networkx_edge_labels(graph, position, shares, font_size=9, ax=axis)
for node, (x, y) in position.items():
    image = axis.inset_axes((x - 0.12, y - 0.12, 0.24, 0.24), transform=axis.transData)
    image.imshow(data.x[node].view(8, 8), cmap="gray_r")
    image.set_title(f"label {int(data.y[node])}", fontsize=8, pad=2)
    image.set_xticks([])
    image.set_yticks([])
axis.set_xlim(-1.3, 1.3)
axis.set_ylim(-1.3, 1.3)
axis.set_title(f"who node {center} attends to (first layer, mean over heads)")
axis.axis("off")
plt.show()
