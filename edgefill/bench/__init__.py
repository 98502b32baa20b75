"""What a backend costs: latency, throughput, memory, energy and exactness, at each batch size.

The words are those of trtexec (throughput is finished work over wall clock, enqueue time is the host's, GPU
time lies between events, copies are apart) and percentiles are nearest ranks, as in trtexec and MLPerf.
"""

from edgefill.bench.measure import Figures
from edgefill.bench.run import Report, bench
from edgefill.bench.timing import Rule, Spread

__all__ = ["Figures", "Report", "Rule", "Spread", "bench"]
