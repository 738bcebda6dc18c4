"""The same as `_mining`, in compiled loops for the CPU (numba, extra `fast`): one pass over the distances.

M: anchors; N: references. A kernel takes some rows of d_MN, one anchor each, puts the weights of its triplets in
their place, and its sums into a row of sums_M5. It holds no GIL, so that Python's own threads run it side by side.
Those of numba would not do: they abort the process when it has forked, or when two callers meet.

For the reader: `no_type_check` keeps the tests' type checker out of compiled code; a literal would widen float32 to
float64, hence `zero` and `one`; `reassoc` lets sums be vectorized, and those over triplets are float64.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from firstsight.functional._mining import Members, Mined, Rule

AT_ONCE = {"cpu": 2**22}  # distances: many, for torch's idle threads go on spinning a while and are in the way of ours
THREADED = 2**19  # distances: for fewer, more than one thread is not worth it
ROWS_A_TASK = 32
LINEAR = 128  # thresholds: up to here, comparing with every one of them is faster than bisection

SELECTS = ("all", "semihard", "hard", "batch-hard")
FALLBACKS = ("farthest", "hardest", "skip")
SEMIHARD, BATCH_HARD = SELECTS.index("semihard"), SELECTS.index("batch-hard")
FARTHEST, SKIP = FALLBACKS.index("farthest"), FALLBACKS.index("skip")

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def mine(d_MN: Float[Tensor, "M N"], members: Members, rule: Rule) -> Mined:
    """Apply the rule to squared distances. d_MN is used up: the weights take its place."""
    sums_M5 = torch.zeros(len(d_MN), 5, dtype=torch.float64)
    d = d_MN.numpy()
    own = -len(d) if members.own is None else members.own  # so far off that no anchor is its own member
    inputs = (d, members.order.numpy(), members.start.numpy(), members.end.numpy(), own)
    how = (d.dtype.type(rule.margin), SELECTS.index(rule.select), FALLBACKS.index(rule.fallback), rule.soft)
    kernel = every if rule.select == "all" else chosen

    def task(first: int) -> None:
        kernel(*inputs, *how, sums_M5.numpy(), first, min(first + ROWS_A_TASK, len(d)))

    tasks, threads = range(0, len(d), ROWS_A_TASK), torch.get_num_threads()
    if threads == 1 or d.size < THREADED:
        for first in tasks:
            task(first)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(task, tasks))
    return Mined(sums_M5.sum(0), d_MN)


def compiled(kernel: Kernel) -> Kernel:
    """Compile on first use, and keep the machine code on disk wherever a folder for it can be written."""
    options: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc", "nsz"}, "error_model": "numpy"}
    try:
        fast: Kernel = numba.njit(cache=True, **options)(kernel)
    except RuntimeError:  # no locator available: neither this folder nor the user's cache can be written
        fast = numba.njit(**options)(kernel)
    return fast


@compiled
@no_type_check
def take_positives(row, anchor, members, own, index, distance, sums):
    """Put the anchor's positives, nearest first, into index and distance, and the pairs into sums; return how many.

    The members' places in the row become infinite: no member is a negative.
    """
    total, not_negative, count = 0.0, 0.0, 0
    for j in range(len(row)):
        total += row[j]
    for p in members:
        not_negative += row[p]
        if p != own + anchor:
            index[count], distance[count] = p, row[p]
            sums[3] += row[p]
            count += 1
        row[p] = np.inf
    sums[4] = total - not_negative if len(members) < len(row) else 0.0
    sort_by_distance(index, distance, count)
    return count


@compiled
@no_type_check
def sort_by_distance(index, distance, count):
    if count > LINEAR:
        order = np.argsort(distance[:count])
        index[:count], distance[:count] = index[:count][order], distance[:count][order]
        return
    for k in range(1, count):  # few: insert one after the other
        p, d, slot = index[k], distance[k], k
        while slot > 0 and distance[slot - 1] > d:
            index[slot], distance[slot] = index[slot - 1], distance[slot - 1]
            slot -= 1
        index[slot], distance[slot] = p, d


@compiled
@no_type_check
def rank(row, table, count, ranks):
    """How many of the ascending thresholds, the first `count` of the table, are at most each distance of the row."""
    table[count:] = np.nan  # at most nothing, not even an infinite distance
    ranks[:] = 0
    if count <= LINEAR:
        for k in range(0, count, 4):  # four at a time, for fewer passes over the ranks
            t0, t1, t2, t3 = table[k], table[k + 1], table[k + 2], table[k + 3]
            for j in range(len(row)):
                d = row[j]
                ranks[j] += np.uint32(t0 <= d) + np.uint32(t1 <= d) + np.uint32(t2 <= d) + np.uint32(t3 <= d)
        return
    step = np.uint32(len(table) >> 1)
    while step:
        probe = table[step - 1 :]
        for j in range(len(row)):  # no branch in here: it would be mispredicted half the time
            ranks[j] += step if probe[ranks[j]] <= row[j] else np.uint32(0)
        step >>= np.uint32(1)


@compiled
@no_type_check
def scratch(d, start, end):
    """Room for the positives of one anchor, and for the ranks of its row among a table of thresholds."""
    most = 0
    for a in range(len(start)):
        most = max(most, end[a] - start[a])
    slots = 4
    while slots <= most:  # bisection needs a power of 2, and one slot more than thresholds
        slots *= 2
    index, distance = np.empty(most, np.int64), np.empty(most, d.dtype)
    return index, distance, np.empty(slots, d.dtype), np.empty(d.shape[1], np.uint32)


@compiled
@no_type_check
def every(d, order, start, end, own, margin, select, fallback, soft, sums_M5, first, last):
    """Every triplet, none listed; see `_mining._every`."""
    index, distance, threshold, ranks = scratch(d, start, end)
    nearer, zero = np.empty(len(threshold), np.int64), d.dtype.type(0)
    for a in range(first, last):
        row, members, sums = d[a], order[start[a] : end[a]], sums_M5[a]
        count = take_positives(row, a, members, own, index, distance, sums)
        if count == 0 or len(members) == len(row):
            row[:] = zero
            continue
        for k in range(count):
            threshold[k] = distance[k] + margin
        widest = threshold[count - 1]
        for p in members:
            row[p] = widest  # inside no threshold, and finite: it leaves no trace
        rank(row, threshold, count, ranks)
        nearer[: count + 1] = 0
        for j in range(len(row)):
            nearer[ranks[j]] += 1
        total = zero  # measured from the widest threshold, small numbers are summed
        for j in range(len(row)):
            weight = row.dtype.type(np.int32(ranks[j]) - np.int32(count))
            total += weight * (row[j] - widest)
            row[j] = weight
        sums[0], sums[1] = total, count * (len(row) - len(members))
        for k in range(count):
            if k:
                nearer[k] += nearer[k - 1]
            sums[0] += nearer[k] * np.float64(threshold[k] - widest)
            sums[2] += nearer[k]
            row[index[k]] = nearer[k]


@compiled
@no_type_check
def chosen(d, order, start, end, own, margin, select, fallback, soft, sums_M5, first, last):
    """One negative for each positive that counts; see `_mining._chosen`."""
    index, distance, threshold, ranks = scratch(d, start, end)
    negative, at = np.empty(len(index) + 1, d.dtype), np.empty(len(index) + 1, np.int64)
    for a in range(first, last):
        row, members, sums = d[a], order[start[a] : end[a]], sums_M5[a]
        count = take_positives(row, a, members, own, index, distance, sums)
        if len(members) == len(row):
            count = 0
        elif select == SEMIHARD:
            for k in range(count):
                threshold[k] = np.nextafter(distance[k], d.dtype.type(np.inf))
            rank(row, threshold, count, ranks)
            nearest_beyond(row, ranks, fallback, negative[: count + 1], at[: count + 1])
        else:
            if select == BATCH_HARD and count:
                count = keep_farthest(index, distance, count)
            nearest = first_nearest(row)
            negative[1 : count + 1], at[1 : count + 1] = row[nearest], nearest
        row[:] = d.dtype.type(0)
        for k in range(count):
            if at[k + 1] >= 0:
                weigh(row, index[k], at[k + 1], distance[k], negative[k + 1], margin, soft, sums)


@compiled
@no_type_check
def weigh(row, p, n, positive, negative, margin, soft, sums):
    """Add one triplet to the sums, and its pull to the weights."""
    zero, pull = row.dtype.type(0), row.dtype.type(1)
    sums[1] += 1
    if soft:
        excess = positive - negative
        sums[0] += max(excess, zero) + math.log1p(math.exp(-abs(excess)))
        pull = row.dtype.type(1 / (1 + math.exp(-excess)))
    else:
        excess = positive + margin - negative
        if not excess > zero:
            return
        sums[0] += excess
    sums[2] += 1
    row[p] += pull
    row[n] -= pull


@compiled
@no_type_check
def nearest_beyond(row, ranks, fallback, negative, at):
    """For the positive k, the nearest strictly farther negative goes to slot k + 1; at is -1 where there is none.

    A reference of rank r is farther than the r nearest positives: the nearest beyond positive k is the nearest of
    the first rank above k that is not empty.
    """
    negative[:] = np.inf
    at[:] = -1
    for j in range(len(row)):
        if row[j] < negative[ranks[j]]:  # strictly, so that the lowest index wins a tie
            negative[ranks[j]], at[ranks[j]] = row[j], j
    if at[-1] < 0 and fallback != SKIP:
        other = first_farthest(row) if fallback == FARTHEST else first_nearest(row)
        negative[-1], at[-1] = row[other], other
    for k in range(len(at) - 2, 0, -1):
        if at[k] < 0:
            negative[k], at[k] = negative[k + 1], at[k + 1]


@compiled
@no_type_check
def keep_farthest(index, distance, count):
    """Move the farthest positive, of ties that with the lowest index, to the front; return how many are left: 1."""
    best = count - 1
    for k in range(count):
        if distance[k] == distance[count - 1] and index[k] < index[best]:
            best = k
    index[0], distance[0] = index[best], distance[best]
    return 1


@compiled
@no_type_check
def first_nearest(row):
    best = 0
    for j in range(len(row)):
        if row[j] < row[best]:
            best = j
    return best


@compiled
@no_type_check
def first_farthest(row):
    """The farthest that is not infinite."""
    best, value = 0, -np.inf
    for j in range(len(row)):
        if value < row[j] < np.inf:
            best, value = j, row[j]
    return best
