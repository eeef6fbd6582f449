"""Layers for PyTorch Geometric models."""

from graphattn.nn.conv.additive_conv import AdditiveConv
from graphattn.nn.conv.aero_conv import AEROConv
from graphattn.nn.conv.attention_conv import AttentionConv, Operands
from graphattn.nn.conv.gat_conv import GATConv
from graphattn.nn.conv.gatv2_conv import GATv2Conv
from graphattn.nn.conv.transformer_conv import TransformerConv
from graphattn.nn.dropout import Dropout
from graphattn.nn.linear import Linear
from graphattn.nn.recording import AttentionRecord, record_attention

__all__ = [
    "AEROConv",
    "AdditiveConv",
    "AttentionConv",
    "AttentionRecord",
    "Dropout",
    "GATConv",
    "GATv2Conv",
    "Linear",
    "Operands",
    "TransformerConv",
    "record_attention",
]
