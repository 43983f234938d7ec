"""Train your own LoRA arm, with the settings of section `lora` in params.yaml."""

from stages._train import training_command

main = training_command("train_lora", "lora")

if __name__ == "__main__":
    main()
