# expect: CODE_FAILED
# Makes the kernel kill others first.
open('/proc/self/oom_score_adj', 'w').write('-1000')
