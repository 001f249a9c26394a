"""Many experiments: a spec's space, who proposes what to try next, and running it.

The only room that imports Ray or Optuna. ``spec`` reads what the user asked for, ``space`` and ``sampler`` decide
what to try, ``tuning`` and ``launch`` try it, ``study`` and ``driver`` keep the folder it is kept in.
"""
