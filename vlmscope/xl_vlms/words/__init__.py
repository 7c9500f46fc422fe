"""From states to words: the unembedding, words and pictures of concepts, which pieces count, lists of words."""
