# expect: CODE_FAILED
# Joins another group.
import os
os.setgroups([0])
