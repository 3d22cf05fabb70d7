# expect: CODE_FAILED
# Starts a process by multiprocessing.
import multiprocessing
process = multiprocessing.get_context('fork').Process(target=print)
process.start()
