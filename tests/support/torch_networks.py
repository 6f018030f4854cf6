"""PyTorch networks of several shapes, as archives that torch.export writes, and what is told of their members."""

import io
import json
import zipfile

import numpy as np
import torch
from torch import nn


class Article(nn.Module):
    """Numbers, codes in one matrix, a history through an LSTM: the article's shape, smaller."""

    def __init__(self):
        super().__init__()
        self.codes = nn.ModuleList([nn.Embedding(6, 3) for _ in range(4)])
        self.lstm = nn.LSTM(3, 8, batch_first=True)
        self.joined, self.drop, self.last = nn.Linear(5 + 12 + 8, 16), nn.Dropout(0.3), nn.Linear(16, 1)

    def forward(self, numbers, codes, history):
        embedded = [embedding(codes[:, column]) for column, embedding in enumerate(self.codes)]
        _, (state, _) = self.lstm(history)
        joined = torch.cat([numbers, *embedded, state[-1]], dim=1)
        return torch.sigmoid(self.last(self.drop(torch.relu(self.joined(joined)))))


class Gated(nn.Module):
    """A GRU in two directions, a convolution with a ReLU in place, and a dict of two outputs."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 5, 2, batch_first=True, bidirectional=True)
        self.conv = nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.ReLU(inplace=True))
        self.risk, self.delay = nn.Linear(10 + 4 * 4 + 5, 3), nn.Linear(10, 1)

    def forward(self, numbers, history):
        states, _ = self.gru(history)
        convolved = self.conv(history.transpose(1, 2)).flatten(1)
        joined = torch.cat([states[:, -1], convolved, numbers], dim=1)
        return {"risk": torch.softmax(self.risk(joined), dim=-1), "delay": self.delay(states.mean(1)).squeeze(-1)}


class Attention(nn.Module):
    """An encoder over a history with the numbers beside each step, and lengths computed on the way."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.beside, self.last = nn.Linear(5, 5), nn.Linear(8, 1)

    def forward(self, numbers, history):
        beside = self.beside(numbers).unsqueeze(1).expand(-1, history.shape[1], -1)
        encoded = self.encoder(torch.cat([history, beside], dim=-1))
        return self.last(encoded.mean(dim=1))


class StepsFirst(nn.Module):
    """A network that turns its history so that steps come before rows, and joins the numbers there."""

    def __init__(self):
        super().__init__()
        self.lstm, self.last = nn.LSTM(8, 6), nn.Linear(6, 1)

    def forward(self, numbers, history):
        turned = (2 * history).transpose(0, 1)
        beside = numbers.expand(turned.shape[0], -1, -1)
        start = torch.zeros_like(beside[:1, :, :1]).expand(-1, -1, 6).contiguous()
        _, (state, _) = self.lstm(torch.cat([turned, beside], dim=-1), (start, start))
        return self.last(state[0])


class OneTensor(nn.Module):
    """All of a row in one tensor: three numbers, a code, a number that is left unread, two more numbers."""

    def __init__(self):
        super().__init__()
        self.group, self.first, self.last = nn.Embedding(6, 3), nn.Linear(5, 8), nn.Linear(11, 1)

    def forward(self, row):
        numbers, code = torch.cat([row[:, :3], row[:, -2:]], dim=1), row[:, 3].long()
        return self.last(torch.cat([torch.tanh(self.first(numbers)), self.group(code)], dim=1)).squeeze(1)


def rows(n_rows, seed=0):
    """Return numbers, codes, a history, and all in one tensor."""
    rng = np.random.default_rng(seed)
    one = rng.normal(size=(n_rows, 7)).astype(np.float32)
    one[:, 3] = rng.integers(0, 6, n_rows)
    return {
        "numbers": rng.normal(size=(n_rows, 5)).astype(np.float32),
        "codes": rng.integers(0, 6, (n_rows, 4)),
        "history": rng.normal(size=(n_rows, 6, 3)).astype(np.float32),
        "row": one,
    }


def made(kind, seed=0):
    """Return a network with weights of chance, ready to predict."""
    torch.manual_seed(seed)
    return kind().eval()


def exported(module, *example):
    """Return the bytes of an archive of a module, for any number of rows."""
    file = io.BytesIO()
    tensors = tuple(torch.from_numpy(array) for array in example)
    free = [{0: torch.export.Dim.AUTO} for _ in tensors]
    torch.export.save(torch.export.export(module, tensors, dynamic_shapes=free), file)
    return file.getvalue()


def predicted(module, *arrays):
    """Return what a module itself gives: its outputs beside each other, of shape (n_rows, n_outputs)."""
    with torch.no_grad():
        given = module(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))
    parts = list(given.values()) if isinstance(given, dict) else given if isinstance(given, tuple) else [given]
    return np.concatenate([part.numpy().reshape(len(arrays[0]), -1) for part in parts], axis=1)


def members(archive):
    """Return the members of an archive by their names behind its root folder."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name.partition("/")[2]: opened.read(name) for name in opened.namelist()}


def packed(parts, compression=zipfile.ZIP_STORED):
    """Return an archive of members; a value may be bytes, or nested JSON."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as opened:
        for name, content in parts.items():
            opened.writestr(f"model/{name}", content if isinstance(content, bytes) else json.dumps(content))
    return file.getvalue()
