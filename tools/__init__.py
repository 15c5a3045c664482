"""What a maintainer runs now and then; not part of the distribution."""
