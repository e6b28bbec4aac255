"""The rules of the house: packaging, layers, modules and documents."""
