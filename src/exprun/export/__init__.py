"""Export a model with its preprocessing as one file: ONNX, torch.export or safetensors."""
