# expect: CODE_CPU_EXCEEDED
# Exhausts what has no end.
import itertools
sum(1 for _ in itertools.count())
