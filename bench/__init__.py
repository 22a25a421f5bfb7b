"""Speed and memory of the service, measured on real sessions in the laboratory, beside their yardsticks.

run         the command: `python -m openvpn3_sessionmgr.bench.run`, inside the laboratory's surroundings
benches     what is measured, and how much is wanted
original    the same calls with OpenVPN 3 Linux, as the peer
figures     medians, the table, the JSON
client      the process that measures: a user's connection that times its own calls
fairness    what a user's flood of calls costs another user
flood       the process that floods
meter       the driver's end of that process
yardsticks  plain openvpn and a bare interpreter, timed the same way
memory      smaps_rollup of the service's processes
"""
