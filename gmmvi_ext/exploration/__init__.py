"""Exploration: searches for the modes of a target, and what they say of modes still unseen.

Modules, in the order in which a fit uses them:

  starting_points   where searches begin: draws of the prior, geometric widths, known modes inflated
  lbfgs             batched quasi-Newton searches
  direct_search     batched searches without gradients (CMA-ES)
  counted           the target in NumPy, with a count of its evaluations
  laplace           Gaussians at points: inverse Hessians, and the mass there
  search            all of them, until few modes are left to find; a first mixture
  catalog         which searches ended in the same mode, and how much is unseen
  audit             fresh searches at the end: is there mass that the mixture lacks?
"""
