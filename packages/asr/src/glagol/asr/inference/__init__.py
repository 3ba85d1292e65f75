"""The scheduler, the pool of recognisers, threads, warm-up, memory."""
