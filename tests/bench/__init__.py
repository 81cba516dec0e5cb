"""Benchmarks: hactl beside what an admin would type without it, on one cluster, in one run (`make bench`).

Nothing here passes or fails by time. What counts are the ratios of one run, whose contenders took turns and so shared
the machine's moods; seconds of two different runs should not be compared. Each module measures one pair and says what
it leaves out; `figures` does the arithmetic and `report` shows it.
"""
