"""Train your own LoRA arm; its section of params.yaml is `lora`."""

from stages._train import training_command

main = training_command("train_lora", "lora")

if __name__ == "__main__":
    main()
