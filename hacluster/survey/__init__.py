"""What the hosts are, before the cluster changes anything and at any time later: `hactl check --hosts`.

One program (`probe`) is sent to each host and prints facts; `facts` reads them, `ask` sends and gathers, and the
`judge_*` modules say what stands against the facts. Nothing here changes a host.
"""
