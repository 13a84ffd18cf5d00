// SPDX-License-Identifier: GPL-2.0
/*
 * The driver of another function of a device, which asks for a reset after every
 * error on the bus, as many drivers do. Binds to what driver_override names it for.
 */
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/pci.h>

static unsigned int wait_ms;
module_param(wait_ms, uint, 0444);
MODULE_PARM_DESC(wait_ms, "How long it thinks about an error");

static int buddy_voter_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	return pci_save_state(pdev);
}

static void buddy_voter_remove(struct pci_dev *pdev)
{
}

static pci_ers_result_t buddy_voter_error_detected(struct pci_dev *pdev,
						   pci_channel_state_t state)
{
	msleep(wait_ms);
	return PCI_ERS_RESULT_NEED_RESET;
}

static pci_ers_result_t buddy_voter_slot_reset(struct pci_dev *pdev)
{
	pci_restore_state(pdev);
	return PCI_ERS_RESULT_RECOVERED;
}

static const struct pci_error_handlers buddy_voter_error_handlers = {
	.error_detected = buddy_voter_error_detected,
	.slot_reset = buddy_voter_slot_reset,
};

static const struct pci_device_id buddy_voter_ids[] = {
	{ PCI_DEVICE_DRIVER_OVERRIDE(PCI_ANY_ID, PCI_ANY_ID, true) },
	{ }
};

static struct pci_driver buddy_voter_driver = {
	.name = "buddy_voter",
	.id_table = buddy_voter_ids,
	.probe = buddy_voter_probe,
	.remove = buddy_voter_remove,
	.err_handler = &buddy_voter_error_handlers,
};

module_pci_driver(buddy_voter_driver);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test of buddy_pool: another driver that wants a device to be reset");
