# expect: CODE_FAILED
# Loads what is installed for others.
import numpy
