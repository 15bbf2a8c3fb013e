"""The check of everything that a start needs: ``--doctor``, ``/api/ready``, and every start."""
