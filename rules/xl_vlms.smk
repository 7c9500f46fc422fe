# XL-VLMs: concept dictionaries, concept shift, steering (arXiv 2406.08074, 2501.03012, 2508.12815).
#
# NEEDS     the captures named by xl_vlms.sets
# MAKES     results/xl_vlms/{model}/vectors/{set}.h5
# SETTINGS  xl_vlms
