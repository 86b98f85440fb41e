"""`python -m dpr_tf`: the same as the command `dpr-tf`."""

import sys

from dpr_tf.cli import main

if __name__ == "__main__":
    sys.exit(main())
