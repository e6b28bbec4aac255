"""Which molecules of MiniDrugBank, the set that comes with openff-toolkit, the tests use."""

MINIDRUGBANK = (
    # rings of three to sixteen atoms, spiro atoms, sulfones, sulfoxides, phosphates, nitriles, an alkyne, an allene, a
    # peroxide, azo groups, a thione, polysulfides, all halogens, cations with one and two charges
    "DrugBank_5514 DrugBank_2148 DrugBank_246 DrugBank_7043 DrugBank_6344 DrugBank_4247 DrugBank_2141 DrugBank_2642 "
    "DrugBank_2238 DrugBank_3787 DrugBank_5779 DrugBank_4959 DrugBank_826 DrugBank_891 DrugBank_7079 DrugBank_4136 "
    "DrugBank_2033 DrugBank_2991 DrugBank_1480 DrugBank_443 DrugBank_2519 DrugBank_423 DrugBank_1391 DrugBank_6486 "
    "DrugBank_7020 DrugBank_1145 DrugBank_152 DrugBank_2585 DrugBank_3752 DrugBank_1722 DrugBank_3954 DrugBank_4584"
).split()
